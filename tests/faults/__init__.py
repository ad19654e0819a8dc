"""What breaks things on purpose, for the tests of the parameter server.

`proxy` stands between workers and servers and damages their connections (`damage` is what it can do, `wire` what it
reads); `failpoints` kills, stops or fails a process at a named place of the program; `namespaces` makes several hosts
out of one; `simulation` is a network without sockets, in virtual time.
"""
