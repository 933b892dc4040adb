-- What text is labelled for: it may be meant as instructions to a model. As with _secret_patterns(), kept here once, and read
-- by the Python client. A label never blocks anything: whoever means harm can word it otherwise.
create function pgstate._label_patterns() returns text[]
language plpgsql immutable parallel safe
as $$
begin
  return array[
    ['role_tokens', $re$(?i)<\|(?:im_start|im_end|im_sep|system|user|assistant|tool|endoftext|begin_of_text|end_of_text|eot_id|start_header_id|end_header_id)\|>|\[/?INST\]|<</?SYS>>|</?(?:system|assistant|human|tool|function_calls|instructions)(?: [^<>"]*)?>|(?:^|[\n"]|\\n)[ #*]*(?:system|assistant|human)[ *]*:$re$],
    ['override_phrases', $re$(?i)(?:ignore|disregard|forget|override|bypass)(?: (?:all|any|every|the|your|of|my|these|those|previous|prior|above|earlier|preceding|original|system|safety))* (?:instructions?|prompts?|rules|directions|guidelines|constraints)|you are now (?:an?|the|in) |new (?:system )?instructions?:|(?:reveal|print|repeat|show)(?: me)? (?:your|the) (?:system |hidden |initial )?(?:prompt|instructions)|do not (?:tell|inform|mention|reveal)[^."]{0,100} (?:user|human|anyone)|(?:enable|enter|activate) (?:developer|jailbreak|dan|god) mode$re$],
    ['invisible_characters', $re$[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]$re$]
  ];
end
$$;
comment on function pgstate._label_patterns() is 'Internal: labels and the regular expressions of what gets them.';
