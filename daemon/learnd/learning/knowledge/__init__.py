"""What is remembered of every task, and the classifier over all of them."""
