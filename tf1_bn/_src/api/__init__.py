# SPDX-License-Identifier: Apache-2.0
"""The public layer, functions and train op."""
