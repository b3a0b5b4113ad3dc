# SPDX-License-Identifier: Apache-2.0
"""What `run` says at the end of a program: the layers it built, and whether their updates ran."""
