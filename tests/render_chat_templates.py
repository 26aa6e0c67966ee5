"""Generates data/chat_templates.json: conversations rendered with chat templates by transformers.

The templates are original, in the formats of well-known models and with the constructs of their templates.
Run

    python tests/render_chat_templates.py

with transformers, tokenizers and jinja2 installed. The file records the version of transformers.
"""

import datetime
import json
import pathlib
import re

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

FILE = pathlib.Path(__file__).parent / "data" / "chat_templates.json"

# The time that `strftime_now` returns.
NOW = datetime.datetime(2024, 7, 4, 9, 5, 3)

TEMPLATES = {
    # ChatML with a default system message, like Qwen2.5 and SmolLM2.
    "chatml": """\
{%- set default = 'You help.' %}
{%- set has_system = messages[0]['role'] == 'system' %}
{{- '<|im_start|>system\\n' ~ (messages[0]['content'] if has_system else default) }}
{%- if tools %}
    {{- '\\n\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' ~ (tool | tojson) }}
    {%- endfor %}
    {{- '\\n</tools>' }}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- for message in messages %}
    {%- if loop.first and has_system %}{% continue %}{% endif %}
    {%- set role = {'tool': 'user'}.get(message.role, message.role) %}
    {%- if message.role != 'tool' or loop.previtem is not defined or loop.previtem.role != 'tool' %}
        {{- '<|im_start|>' + role + '\\n' }}
    {%- endif %}
    {%- if message.role == 'tool' %}
        {{- '<tool_response>' + message.content + '</tool_response>' }}
        {%- if not loop.last and loop.nextitem.role == 'tool' %}{% continue %}{% endif %}
    {%- elif message.content %}
        {{- message.content + ('\\n' if message.tool_calls else '') }}
    {%- endif %}
    {%- for call in message.tool_calls or [] %}
        {%- set called = call.function if call.function is defined else call %}
        {{- '<tool_call>' ~ {'name': called.name, 'arguments': called.arguments} | tojson ~ '</tool_call>' }}
        {%- if not loop.last %}{{ '\\n' }}{% endif %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    # Header ids and the date, like Llama 3.
    "llama3": """\
{%- macro header(role) -%}
<|start_header_id|>{{ role }}<|end_header_id|>{{ '\\n\\n' }}
{%- endmacro %}
{%- macro turn(role, text) %}{{ header(role) ~ text ~ '<|eot_id|>' }}{% endmacro %}
{%- set today = date_string if date_string is defined else strftime_now('%d %b %Y') %}
{%- set first, rest = '', messages %}
{%- if messages[0].role == 'system' %}
    {%- set first, rest = messages[0].content | trim, messages[1:] %}
{%- endif %}
{%- set about %}
Today is {{ today }}.

{% for tool in tools or [] %}
{{ tool | tojson(indent=4) }}

{% endfor %}
{{ first }}
{%- endset %}
{{- bos_token ~ turn('system', about) }}
{%- for message in rest %}
    {%- if message.tool_calls %}
        {%- if message.tool_calls | length > 1 %}
            {{- raise_exception('one call at a time') }}
        {%- endif %}
        {%- set called = message.tool_calls | map(attribute='function') | first %}
        {{- turn('assistant', '{"name": "' + called.name + '", "parameters": ' + called.arguments | tojson + '}') }}
    {%- elif message.role == 'tool' %}
        {{- turn('ipython', message.content if message.content is string else message.content | tojson) }}
    {%- else %}
        {{- turn(message.role, message.content | trim) }}
    {%- endif %}
{%- endfor %}
{{- header('assistant') if add_generation_prompt }}
""",
    # [INST] and <<SYS>>, like Llama 2.
    "llama2": """\
{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else none %}\
{% for turn in (messages if system is none else messages[1:]) %}\
{% if turn['role'] != ['user', 'assistant'][loop.index0 % 2] %}\
{{ raise_exception('turn ' ~ loop.index ~ ' is not of the ' ~ ['user', 'assistant'][loop.index0 % 2]) }}{% endif %}\
{% set before = '<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' if loop.first and system is not none else '' %}\
{% if loop.index0 % 2 == 0 %}{{ bos_token + '[INST] ' + (before + turn['content']).strip() + ' [/INST]' }}\
{% else %}{{ ' ' + turn['content'].strip() + ' ' + eos_token }}{% endif %}\
{% endfor %}""",
    # Tools before the last question, and the system message in it, like Mistral v0.3.
    "mistral": """\
{%- set ns = namespace(system='', spoken=0, last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = message.content ~ '\\n\\n' %}
    {%- elif message.role in ('user', 'assistant') and not message.tool_calls %}
        {%- set expected = ('user', 'assistant')[ns.spoken % 2] %}
        {%- if message.role != expected %}
            {{- raise_exception('message %s should be of the %s' | format(loop.index, expected)) }}
        {%- endif %}
        {%- set ns.spoken = ns.spoken + 1 %}
        {%- set ns.last = loop.index0 if message.role == 'user' else ns.last %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in messages if message.role != 'system' %}
    {%- if message.role == 'user' %}
        {%- set is_last = message is sameas messages[ns.last] %}
        {%- if tools and is_last %}
            {{- '[AVAILABLE_TOOLS] [' }}
            {%- for tool in tools | map(attribute='function') %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.items() if value %}
                    {{- '"' + key + '": ' }}
                    {{- '"' + value + '"' if value is string else value | tojson }}
                    {{- ', ' if not loop.last }}
                {%- endfor %}
                {{- '}}' + (']' if loop.last else ', ') }}
            {%- endfor %}
            {{- '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + (ns.system if is_last else '') + message.content + '[/INST]' }}
    {%- elif message.tool_calls %}
        {{- '[TOOL_CALLS] [' }}
        {%- for call in message.tool_calls %}
            {{- (call.function | tojson)[:-1] + ', "id": "' + call.id[-9:] + '"}' }}
            {{- ', ' if not loop.last else ']' + eos_token }}
        {%- endfor %}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content | trim + eos_token }}
    {%- else %}
        {{- '[TOOL_RESULTS] {"content": ' ~ message.content ~ '}[/TOOL_RESULTS]' }}
    {%- endif %}
{%- endfor %}
""",
    # User and model turns, parts of content, the system message in the first question, like Gemma 3.
    "gemma": """\
{%- macro words(content) -%}
    {%- if content is string -%}
        {{ content | trim }}
    {%- elif content is mapping or content is not iterable -%}
        {{ raise_exception('content of no known kind') }}
    {%- else -%}
        {%- for part in content -%}
            {{ part['text'] | trim if part['type'] == 'text' else '<image>' }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- set roles = {'user': 'user', 'assistant': 'model'} -%}
{%- set ns = namespace(before='', previous='model') -%}
{{ bos_token }}
{%- for message in messages -%}
    {%- if message['role'] == 'system' and loop.index == 1 -%}
        {%- set ns.before = words(message['content']) ~ '\\n\\n' -%}
        {%- continue -%}
    {%- endif -%}
    {%- set role = roles[message['role']] -%}
    {%- if role is undefined or role == ns.previous -%}
        {{ raise_exception('a turn of ' ~ message['role'] ~ ' after one of ' ~ ns.previous) }}
    {%- endif -%}
    {%- set ns.previous = role -%}
    {{ '<start_of_turn>' + role + '\\n' + ns.before }}
    {%- set ns.before = '' -%}
    {{ words(message['content']) }}<end_of_turn>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    <start_of_turn>model{{ '\\n' }}
{%- endif -%}
""",
    # Lines, with whitespace removed by trim_blocks and lstrip_blocks, like Zephyr.
    "zephyr": """\
{% for message in messages %}
  {# Other roles have no place here. #}
  {% if message['role'] in ['system', 'user', 'assistant'] %}
{{ '<|' ~ message['role'] ~ '|>' }}
{{ message['content'] + eos_token }}
  {% endif %}
    {% if loop.last and add_generation_prompt %}
<|assistant|>
    {% endif %}
{% endfor %}
""",
    # The end token only after the last message, like Phi-3.
    "phi3": """\
{% for message in messages %}{% if message['role'] in ['system', 'user', 'assistant'] and message['content'] %}\
{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] + '<|end|>' + '\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    # Reasoning only after the last question, like Qwen3.
    "qwen3": """\
{%- macro turn(role, text) %}{{ '<|im_start|>' ~ role ~ '\\n' ~ text ~ '<|im_end|>\\n' }}{% endmacro %}
{%- set ns = namespace(question=-1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and not message.content[:15] == '<tool_response>' %}
        {%- set ns.question = messages | length - loop.index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- if tools or messages[0].role == 'system' %}
    {%- set about = messages[0].content if messages[0].role == 'system' else '' %}
    {%- for tool in tools or [] %}{% set about = about ~ tool.function.name %}{% endfor %}
    {{- turn('system', about ~ tools | default([], true) | map('tojson') | join('\\n')) }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
    {%- set said = message.content if message.content is string else '' %}
    {%- if message.role != 'assistant' %}
        {{- turn('user', said) if message.role == 'user' else turn('user', '<tool_response>' ~ said ~ '</tool_response>') }}
        {%- continue %}
    {%- endif %}
    {%- set thought = message.reasoning_content | default('') %}
    {%- if not thought and '</think>' in said %}
        {%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
    {%- endif %}
    {%- set said = said.split('</think>')[-1].lstrip('\\n') %}
    {%- set skipped = messages | length - loop.length %}
    {%- if loop.index0 + skipped > ns.question and (loop.last or thought) %}
        {%- set said = '<think>\\n' ~ thought.strip() ~ '\\n</think>\\n\\n' ~ said %}
    {%- endif %}
    {%- set called %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' if said or not loop.first }}<tool_call>
{{ call.function | tojson }}
</tool_call>
        {%- endfor %}
    {%- endset %}
    {{- turn('assistant', said ~ called) }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    # The answer starts after a tag that earlier answers lack, like DeepSeek-R1.
    "deepseek": """\
{%- set ns = namespace(system='') -%}
{%- for message in messages %}{% if message['role'] == 'system' %}{% set ns.system = message['content'] %}{% endif %}{% endfor -%}
{{ bos_token }}{{ ns.system }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}{{ '<|User|>' + message['content'] }}
{%- elif message['role'] == 'assistant' %}{{ '<|Assistant|>' + message['content'].split('</think>')[-1] + eos_token }}
{%- endif %}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}
""",
    # Generation blocks without whitespace control.
    "generation": """\
{{ bos_token }}
{% for message in messages %}
    {% if message.role == 'assistant' %}
<|assistant|>
        {% generation %}
        {% set said = message.content | trim %}
{{ said }}{{ eos_token }}
        {% endgeneration %}
    {% else %}
<|{{ message.role }}|>
{{ message.content }}
    {% endif %}
{% endfor %}
{{ said is defined }}
{% if add_generation_prompt %}
<|assistant|>
{% endif %}
""",
    # Generation blocks with whitespace control, next to a macro and a namespace.
    "generation_trimmed": """\
{%- set ns = namespace(answers=0) -%}
{%- macro say(text) -%}<b>{{ text }}</b>{%- endmacro -%}
{%- for message in messages -%}
    {{- '<|im_start|>' ~ message.role ~ '\\n' -}}
    {%- if message.role == 'assistant' %}
        {%- generation -%}
            {%- set ns.answers = ns.answers + 1 -%}
            {{ say(message.content) }}<|im_end|>
        {%- endgeneration -%}
        {{- '\\n' -}}
    {%- else -%}
        {{ message.content }}<|im_end|>{{ '\\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
{{ ns.answers }}
""",
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather at a <place> in \"words\": äöü 😀",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string"},
                    "days": {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
                    "exact": {"type": "number", "default": 1e-07, "nullable": True},
                },
                "required": ["place"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {}}},
]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CALL = {
    "id": "abcdef123",
    "type": "function",
    "function": {"name": "weather", "arguments": {"place": "Zürich", "days": [1], "exact": 0.5}},
}
SYSTEM = {"role": "system", "content": "Be brief."}

CONVERSATIONS = {
    "question": ([user("Hi, who are you?")], None),
    "turns": ([user(" Hi! "), assistant(" Hello!\n"), user("A < B & 'C'?"), assistant("Ja, größer 😀.")], None),
    # Every answer also occurs in the question.
    "same": ([SYSTEM, user("ok?"), assistant("ok"), user("ok ok"), assistant("ok")], None),
    "thoughts": (
        [
            user("1 + 1?"),
            assistant("<think>\nOne more than 1.\n</think>\n\n2"),
            user("And 2 + 2?"),
            assistant("<think>\nTwo more than 2.\n</think>\n\n4"),
        ],
        None,
    ),
    "reasoning": ([user("1 + 1?"), assistant("2", reasoning="One more."), user("2 + 2?"), assistant("4", reasoning="Two more.")], None),
    "calls": (
        [
            SYSTEM,
            user("How is the weather?"),
            assistant(None, tool_calls=[CALL]),
            {"role": "tool", "name": "weather", "content": '{"sky": "blue"}'},
            assistant("Good."),
            user("Thanks!"),
            assistant("You are welcome."),
        ],
        TOOLS,
    ),
    "tools": ([user("Hi"), assistant("Hello.")], TOOLS),
    "parts": ([{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}], None),
    "two_questions": ([user("a"), user("b"), assistant("c")], None),
}

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def tokenizer():
    """Returns a tokenizer with one token per character, so that token masks are character masks."""
    vocabulary = {"<unk>": 0}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(pattern="", behavior="isolated")
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **TOKENS)


def parts(text, mask):
    """Returns the runs of characters in the mask."""
    found, run = [], ""
    for character, inside in zip(text, mask, strict=True):
        if inside:
            run += character
        elif run:
            found.append(run)
            run = ""
    return found + [run] * bool(run)


def render(tokenizer, template, messages, tools, prompt):
    try:
        text = tokenizer.apply_chat_template(
            messages, tools=tools, chat_template=template, add_generation_prompt=prompt, tokenize=False
        )
        return {"text": text}
    except Exception as error:  # noqa: BLE001: any error of a template
        return {"error": str(error)}


def marked(tokenizer, template, messages, tools):
    encoded = tokenizer.apply_chat_template(
        messages,
        tools=tools,
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    text = tokenizer.apply_chat_template(messages, tools=tools, chat_template=template, tokenize=False)
    spans = encoded.encodings[0].offsets
    mask = [0] * len(text)
    for (start, end), inside in zip(spans, encoded["assistant_masks"], strict=True):
        mask[start:end] = [inside] * (end - start)
    return parts(text, mask)


def between_prefixes(tokenizer, template, messages, tools):
    """Returns the text that each assistant message adds, or None if a message changes earlier text."""
    def prefix(count, prompt):
        return render(tokenizer, template, messages[:count], tools, prompt).get("text")

    whole = prefix(len(messages), False)
    found = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            # transformers rejects conversations without messages.
            before = prefix(index, True) if index else None
            with_it = prefix(index + 1, False)
            if before is None or with_it is None or not (whole.startswith(before) and whole.startswith(with_it)):
                return None
            found.append(whole[len(before) : len(with_it)])
    return found


def main():
    chat_template_utils.datetime = Clock
    own = tokenizer()
    cases = []
    for name, template in TEMPLATES.items():
        has_blocks = re.search(r"\{%-?\s*generation\s*-?%\}", template)
        for conversation, (messages, tools) in CONVERSATIONS.items():
            case = {
                "template": name,
                "conversation": conversation,
                "plain": render(own, template, messages, tools, False),
                "with_prompt": render(own, template, messages, tools, True),
            }
            if "text" in case["plain"]:
                find = marked if has_blocks else between_prefixes
                case["assistant"] = find(own, template, messages, tools)
            cases.append(case)
    result = {
        "made_by": f"transformers {transformers.__version__}",
        "now": NOW.isoformat(),
        "tokens": TOKENS,
        "templates": TEMPLATES,
        "conversations": {
            name: {"messages": messages, "tools": tools} for name, (messages, tools) in CONVERSATIONS.items()
        },
        "cases": cases,
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
