# SPDX-License-Identifier: Apache-2.0
"""What is found in facts: a small file a subject, each with its codes and their levels."""
