"""What goes into a model: how rows of each modality become tensors."""
