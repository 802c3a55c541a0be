"""What a user reads: findings with codes, the catalogue of them, and the report in text and HTML."""
