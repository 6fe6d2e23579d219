"""Widgets that draw graphs and circuits inside notebooks."""
