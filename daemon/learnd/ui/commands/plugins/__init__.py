"""Commands about algorithms: list, check and train them."""
