# SPDX-License-Identifier: Apache-2.0
"""One batch over many towers, replicas or processes."""
