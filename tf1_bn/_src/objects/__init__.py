# SPDX-License-Identifier: Apache-2.0
"""What a layer is as an object: module, weights, scope, losses and updates."""
