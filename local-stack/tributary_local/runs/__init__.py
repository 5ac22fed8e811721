"""What is done with a stack from beginning to end: the demo, the end-to-end check, chaos, a deployment's rehearsal."""
