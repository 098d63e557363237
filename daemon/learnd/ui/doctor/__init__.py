"""What `learnd doctor` looks at."""
