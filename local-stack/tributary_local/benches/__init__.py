"""What the pipeline takes, measured on stacks of their own."""
