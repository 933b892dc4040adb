-- Back to whoever installs.
reset role;
