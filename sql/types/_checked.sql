create type pgstate._checked as (error text, budget int);
comment on type pgstate._checked is 'Internal: what a schema says of a value, and how many steps are left; none left (-1) means that the check was given up.';
