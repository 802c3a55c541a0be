"""Figures: plots of tidy data, their style, and the recipes from which they are drawn again."""
