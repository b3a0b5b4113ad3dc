"""Rescuing models: statistics taken anew, exports, conversions."""
