-- What was set for the transaction is gone if there is none.
do $in_transaction$
begin
  if coalesce(pg_catalog.current_setting('pgstate.before', true), '') = '' then
    raise exception 'pgstate migrates in one transaction, and there is none: this connection commits each statement'
      using errcode = 'no_active_sql_transaction', hint = 'Leave out autocommit and autocommit_block().';
  end if;
end
$in_transaction$;
