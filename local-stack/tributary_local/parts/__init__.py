"""What runs: LocalStack, the broker, the event source, the monitor, and the stack that they make."""
