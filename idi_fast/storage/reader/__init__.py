"""Files that somebody else wrote are parsed in a process of their own, which their damage may end: see `client`."""
