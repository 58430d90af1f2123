"""Pure numpy and pandas: metrics, statistics, folds, flow, landmarks. No torch, no Lightning, no Hydra."""
