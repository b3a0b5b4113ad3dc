# SPDX-License-Identifier: Apache-2.0
"""What is said of a graph while it runs: by a hook, on request, and once unasked."""
