"""Domains: each its states, references, networks, rewards, decoding and drawing. No domain imports another."""
