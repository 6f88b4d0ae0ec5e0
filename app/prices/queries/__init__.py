"""Reads of prices, by question. Every set-read takes a list of keys and answers by key."""
