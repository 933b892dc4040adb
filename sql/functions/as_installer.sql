-- What follows belongs to whoever installs: it creates roles, which only an administrator can.
reset role;
