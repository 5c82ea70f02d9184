#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads OpenMetrics text 1.0.0 from standard input as a strict reader would:
prints each sample as NAME{LABELS} VALUE with plain labels, or what is wrong."""
import re
import sys

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*'
SUFFIXES = {
    'gauge': [''], 'counter': ['_total', '_created'], 'info': ['_info'], 'stateset': [''],
    'unknown': [''],
}
NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z')


def wrong(number, line, what):
    sys.exit(f'line {number}: {what}: {line!r}')


def read_labels(text):
    """The labels after '{' as a list of pairs, and what follows '}'; None when malformed."""
    labels = []
    while not text.startswith('}'):
        if labels:
            if not text.startswith(','):
                return None, text
            text = text[1:]
        match = re.match(rf'({LABEL})="', text)
        if not match:
            return None, text
        text = text[match.end():]
        value = ''
        while not text.startswith('"'):
            if text.startswith('\\'):
                if len(text) < 2 or text[1] not in '\\"n':
                    return None, text
                value += {'n': '\n'}.get(text[1], text[1])
                text = text[2:]
            elif text:
                value += text[0]
                text = text[1:]
            else:
                return None, text
        labels.append((match.group(1), value))
        text = text[1:]
    return labels, text[1:]


class Reader:
    def __init__(self):
        self.types, self.units, self.helps = {}, {}, {}
        self.done, self.seen = set(), set()
        self.family = None

    def enter(self, name, number, line):
        if name == self.family:
            return
        if name in self.done:
            wrong(number, line, 'the family is in two places')
        self.done.add(name)
        self.family = name

    def metadata(self, number, line):
        match = re.match(rf'# (TYPE|UNIT|HELP) ({NAME}) (.*)\Z', line)
        if not match:
            wrong(number, line, 'no metadata')
        kind, name, value = match.groups()
        self.enter(name, number, line)
        table = {'TYPE': self.types, 'UNIT': self.units, 'HELP': self.helps}[kind]
        if name in table:
            wrong(number, line, 'said twice')
        if any(seen[0] == name for seen in self.seen):
            wrong(number, line, 'metadata after a sample')
        if kind == 'TYPE' and value not in SUFFIXES:
            wrong(number, line, 'a type that is not known here')
        if kind == 'UNIT' and not name.endswith('_' + value):
            wrong(number, line, 'the name does not end in the unit')
        if kind == 'HELP' and re.search(r'\\(?![\\n"])', value):
            wrong(number, line, 'a wrong escape')
        table[name] = value

    def sample(self, number, line):
        match = re.match(NAME, line)
        if not match:
            wrong(number, line, 'no name')
        name, rest, labels = match.group(), line[match.end():], []
        if rest.startswith('{'):
            labels, rest = read_labels(rest[1:])
            if labels is None:
                wrong(number, line, 'malformed labels')
        if not rest.startswith(' ') or not NUMBER.match(rest[1:]):
            wrong(number, line, 'no value')
        family = self.family_of(name, number, line)
        keys = [key for key, _ in labels]
        if len(set(keys)) != len(keys):
            wrong(number, line, 'a label twice')
        key = (family, name, tuple(sorted(labels)))
        if key in self.seen:
            wrong(number, line, 'the same sample twice')
        self.seen.add(key)
        self.check_value(family, labels, float(rest), number, line)
        print(name + '{' + ','.join(f'{k}={v!r}' for k, v in labels) + '}' + rest)

    def family_of(self, name, number, line):
        for family, kind in self.types.items():
            if any(name == family + suffix for suffix in SUFFIXES[kind]):
                self.enter(family, number, line)
                return family
        return wrong(number, line, 'a sample without a type, or with a wrong suffix')

    def check_value(self, family, labels, value, number, line):
        kind = self.types[family]
        if kind == 'info' and value != 1:
            wrong(number, line, 'an info is 1')
        if kind == 'counter' and value < 0:
            wrong(number, line, 'a counter below 0')
        if kind == 'stateset' and (value not in (0, 1) or family not in dict(labels)):
            wrong(number, line, 'a state is 0 or 1 and has its label')


def main():
    text = sys.stdin.buffer.read().decode('utf-8')  # what is not UTF-8 is refused
    if not text.endswith('# EOF\n'):
        sys.exit('it does not end in # EOF')
    reader = Reader()
    lines = text[:-len('# EOF\n')].split('\n')
    if lines.pop() != '':
        sys.exit('# EOF is not a line of its own')
    for number, line in enumerate(lines, 1):
        if line.startswith('#'):
            reader.metadata(number, line)
        else:
            reader.sample(number, line)


main()
