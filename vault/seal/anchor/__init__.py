"""What is remembered elsewhere, so that an older copy of database or audit log is noticed.

Three places hold each other: the *commit stamp* in the database (in each transaction), the signed
*head* of the audit log (in each batch), and the *anchor*, a file outside both (each second).
"""
