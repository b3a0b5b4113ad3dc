"""xDeepFM of LF recommenders trains on made-up clicks, with batch normalization switched on."""

import random

import numpy as np
import tensorflow as tf
from recommenders.models.deeprec.deeprec_utils import prepare_hparams
from recommenders.models.deeprec.io.iterator import FFMTextIterator
from recommenders.models.deeprec.models.xDeepFM import XDeepFMModel

FIELDS, VALUES, ROWS = 5, 6, 200
random.seed(4)
with open("clicks.txt", "w") as clicks:
    for _ in range(ROWS):
        picked = [random.randrange(VALUES) for _ in range(FIELDS)]
        words = [f"{f + 1}:{f * VALUES + v + 1}:1" for f, v in enumerate(picked)]
        clicked = int(picked[0] + picked[1] >= VALUES - 1)
        clicks.write(f"{clicked} {' '.join(words)}\n")

hparams = prepare_hparams(
    None,
    model_type="xDeepFM",
    method="classification",
    data_format="ffm",
    FEATURE_COUNT=FIELDS * VALUES,
    FIELD_COUNT=FIELDS,
    dim=4,
    layer_sizes=[7, 6],
    cross_layer_sizes=[6, 3],
    cross_activation="identity",
    activation=["relu", "relu"],
    dropout=[0.0, 0.0],
    use_Linear_part=True,
    use_CIN_part=True,
    use_DNN_part=True,
    enable_BN=True,
    init_method="tnormal",
    init_value=0.1,
    loss="log_loss",
    optimizer="adam",
    learning_rate=0.01,
    batch_size=32,
    epochs=8,
    metrics=["auc"],
    show_step=100,
    save_epoch=100,
    embed_l2=0.0,
    layer_l2=0.0,
    cross_l2=0.0,
    save_model=False,
    write_tfevents=False,
)
model = XDeepFMModel(hparams, FFMTextIterator, seed=4)
before = model.run_eval("clicks.txt")["auc"]
model.fit("clicks.txt", "clicks.txt")
after = model.run_eval("clicks.txt")["auc"]
print(f"auc {before:.3f}, then {after:.3f}")
with model.graph.as_default():
    moving = [v for v in tf.compat.v1.global_variables() if "moving_mean" in v.name]
print("moved", [bool(np.abs(v).max() > 0) for v in model.sess.run(moving)])
