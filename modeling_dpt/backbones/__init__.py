"""Encoders: the native ViT, the hybrid stem and anything transformers.AutoBackbone builds."""
