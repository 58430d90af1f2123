"""What a network looks at: Grad-CAM and feature maps of finished runs."""
