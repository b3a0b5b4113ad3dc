"""What `tf.contrib.training.HParams` answers, step by step, for TF 1.15.5 and for ours alike.

`python -m tests.legacy.hparams_cases` records TF 1.15's, and refuses any other TensorFlow.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_name("data") / "hparams_tf115.json"
# One after the other with the same `h`; the answer is a repr, or the type of an error.
STEPS = """
HP(a=1, b=2.5, c='x', d=[1, 2, 3], e=True, f=None, g=(1, 2))
str(h)
repr(h)
h.values()
h.to_json()
h.to_json(indent=1, sort_keys=True)
'a' in h, 'zz' in h
h.get('a'), h.get('zz'), h.get('zz', 3), h.get('d', [2]), h.get('f', 1), h.get('b', 1)
h.get('a', 2.5)
h.get('a', 'x')
h.get('d', 1)
h.get('d', ['x'])
h.zz
h.add_hparam('a', 2)
h.add_hparam('values', 2)
h.add_hparam('n', 7), h.n
h.add_hparam('l', [])
h.add_hparam('mix', [1, 'a']), h.mix
str(HP(b=1, a=2))
h.set_hparam('a', 2.0)
h.set_hparam('a', '3')
h.set_hparam('a', None)
h.set_hparam('a', True)
h.set_hparam('a', np.int64(4)), h.a
h.set_hparam('a', np.float32(4))
h.set_hparam('a', [4])
h.set_hparam('b', 3), h.b
h.set_hparam('b', 'x')
h.set_hparam('b', True)
h.set_hparam('c', 1)
h.set_hparam('d', [4, 5]), h.d
h.set_hparam('d', 4)
h.set_hparam('e', 0)
h.set_hparam('e', 'true')
h.set_hparam('e', False), h.e
h.set_hparam('f', 3), h.f
h.set_hparam('zz', 3)
h.set_hparam('g', [3]), h.g
setattr(h, 'a', 9), h.a
setattr(h, 'new', 9), 'new' in h, h.values()
h.parse('a=3,b=1e-3,c=hello')
h.parse('d=[7,8],e=false')
h.parse('d[1]=5')
h.parse('a[0]=1')
h.parse('zz=1')
h.parse('a=x')
h.parse('a=1.5')
h.parse('a=1e3')
h.parse('a')
h.parse('a=')
h.parse('=3')
h.parse('a==3')
h.parse('d=3')
h.parse('a=[3]')
h.parse('c=a b.c/d').c
h.parse('c="q"').c
h.parse('c=').c
h.parse('c=a,b')
h.parse('c=[a,b]')
h.parse('e=1').e
h.parse('e=True,e=0')
h.parse('e=yes')
h.parse('')
h.parse(' a=1')
h.parse('a=1,  b=2').values()
h.parse('a = 1').a
h.parse('d=[]').d
h.parse('d=[1, 2 3,]').d
h.parse('d=[1,2')
h.parse('g=[3,4]').g
h.parse('a=-3,b=-.5').values()
h.parse('b=inf').b
h.parse('a=1,')
h.override_from_dict({'a': 5, 'c': 'z'}).values()
h.override_from_dict({'a': 5, 'zz': 'z'})
h.set_from_map({'a': 6}).a
h.parse_json('{"a": 7, "d": [1]}').values()
h.del_hparam('n'), h.values()
h.del_hparam('nope')
h.set_model_structure(3), h.get_model_structure()
HP(hparam_def=None, x=1).values()
HP(**{'values': 1})
HP(x=1) == HP(x=1)
copy.deepcopy(HP(x=[1])).values()
copy.copy(HP(x=[1])).values()
HP(x=1, model_structure=2).values()
HP(s=['x', 'y']).parse('s=[p,q r]').s
HP(s=['x', 'y']).parse('s[3]=t')
HP(e=[True, False]).parse('e=[true,0]').e
int(HP(x=np.int64(3)).parse('x=4').x)
HP(x=np.float32(1.5)).to_json()
HP(x={'k': 1}).parse('x=1')
HP(x='u').parse('x=w').x
HP(x=1).to_json(separators=(',', ':'))
HP(a=1).parse('b=2')
HP(**{'a.b': 1}).parse('a.b=2').values()
"""


def answers(kind: Any) -> list[list[str]]:
    """Each step, and what comes of it."""
    lines = STEPS.strip().splitlines()
    names = {"HP": kind, "np": np, "copy": copy, "h": eval(lines[0], {"HP": kind})}
    return [[line, _answer(line, names)] for line in lines]


def _answer(line: str, names: dict[str, Any]) -> str:
    try:
        return repr(eval(line, names))
    except Exception as error:
        return type(error).__name__


def main() -> None:
    import tensorflow as tf

    assert tf.__version__.startswith("1.15."), "the records are TF 1.15's own"
    lines = [json.dumps(each) for each in answers(tf.contrib.training.HParams)]
    RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
