# SPDX-License-Identifier: Apache-2.0
"""From an old checkpoint to something that is deployed, each step with its proof."""
