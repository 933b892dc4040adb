-- What text is labelled for: it may be meant as instructions to a model. As with _secret_patterns(), kept here once, and read
-- by the Python client. A label never blocks anything: whoever means harm can word it otherwise.
create function pgstate._label_patterns() returns text[]
language plpgsql immutable parallel safe
as $$
begin
  return array[
    ['role_tokens', $re$(?i)<[|\uff5c][A-Za-z0-9_\u2581]{1,40}[|\uff5c]>|<(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>|</?(?:system|assistant|human|tool|function_calls|instructions)(?: [^<>"]*)?>|(?:^|[\n\r"]|\\[nr])[ #*]*(?:system|assistant|human)[ *]*:$re$],
    ['override_phrases', $re$(?i)(?:ignore|disregard|forget|override|bypass)(?: (?:all|any|every|the|your|of|my|these|those|previous|prior|above|earlier|preceding|original|system|safety))* (?:instructions?|prompts?|rules|directions|guidelines|constraints)|you are now (?:an?|the|in) |new (?:system )?instructions?:|(?:reveal|print|repeat|show)(?: me)? (?:your|the) (?:system |hidden |initial )?(?:prompt|instructions)|do not (?:tell|inform|mention|reveal)[^."]{0,100} (?:user|human|anyone)|(?:enable|enter|activate) (?:developer|jailbreak|dan|god) mode$re$],
    ['invisible_characters', $re$[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]$re$]
  ];
end
$$;
comment on function pgstate._label_patterns() is 'Internal: labels and the regular expressions of what gets them.';
