"""The agents' side of the control plane: their links, and the door that lets them in.

doors ─ listeners on TLS, certificates that follow the authority
  ├─ desk     HTTPS: enrol, renew, rejoin, join
  └─ gateway  the link: one `AgentConnection` for each connection
"""
