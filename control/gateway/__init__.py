"""The agents' side of the control plane: their links, and the server that enrols them.

listener ─ TLS, certificates that follow the authority
  ├─ enrolment_server  HTTPS: enrol, renew, rejoin, join
  └─ gateway           the link: one `AgentConnection` for each connection
"""
