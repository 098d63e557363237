"""What algorithms are built from: heads, the inner loop, gradient and metric learners."""
