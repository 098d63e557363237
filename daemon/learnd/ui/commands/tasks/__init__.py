"""Commands about task folders."""
