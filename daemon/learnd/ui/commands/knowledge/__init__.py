"""Commands about what was learnt: ask it, look at its versions, change it."""
