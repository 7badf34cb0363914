"""Files from other people are parsed in a separate process, which their damage may crash: see `client`."""
