"""How data is shown: text, HTML, pictures."""
