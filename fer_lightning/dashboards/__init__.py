"""Runs as dashboards show them: Weights & Biases and TensorBoard, imported only when they are chosen."""
