-- Where there are rules already: see _follow_writes().
select pgstate._follow_writes();
