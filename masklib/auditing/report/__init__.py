"""What a user reads: findings with codes, the catalogue of findings, and the report as text and HTML."""
