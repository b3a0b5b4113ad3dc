# SPDX-License-Identifier: Apache-2.0
"""The doctor of a program that has run: its graphs, and what its sessions did with them."""
