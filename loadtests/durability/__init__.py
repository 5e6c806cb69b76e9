"""`make durability`: faults under load, and an oracle that nothing acknowledged survives unchecked.

    writers ─ history ─ oracle      what clients know, and what must hold afterwards
    rounds  ─ faults/kill, power    a fault at a random moment under writers, many times
    sweep   ─ faults/gate, stories  a fault at every system call of one operation

Clients keep their history in this process, where no fault of the agent's disk reaches it.
"""
