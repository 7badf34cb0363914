"""Tables, the policies made from them, and their rollouts."""
