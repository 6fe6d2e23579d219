"""Attribution graphs of Gemma models from transcoders, traced, pruned and tested in Jupyter."""
