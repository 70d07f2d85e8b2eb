"""Trained networks as files that run without this project: StableHLO, ONNX, safetensors."""
