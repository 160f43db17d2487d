"""The nouns between the two gates of ids: interactions, queries, candidates, recommendations."""
