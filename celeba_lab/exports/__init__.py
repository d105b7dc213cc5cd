"""Export of generators to safetensors files."""
