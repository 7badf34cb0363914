"""Tables, the policies made of them, and what they do."""
