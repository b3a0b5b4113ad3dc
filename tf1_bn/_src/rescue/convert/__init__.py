# SPDX-License-Identifier: Apache-2.0
"""Values of a model, from the names and layouts of one library to those of another."""
